"""What a private run reveals at most, how it is made private, and how that claim is attacked and checked."""
