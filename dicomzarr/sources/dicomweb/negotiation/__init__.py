"""How frames are asked for, and what refusals mean."""
