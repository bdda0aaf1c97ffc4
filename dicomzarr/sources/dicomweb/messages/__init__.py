"""What bodies hold: multipart, media types, frames in replies."""
