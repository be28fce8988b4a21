"""What a user may ask for: keys, types, defaults, profiles, loading and checks."""
