"""The wire: URLs, content negotiation, multipart, transport."""
