"""What one frame is: how its values are stored, its transfer syntax, what its codestream says of itself."""
