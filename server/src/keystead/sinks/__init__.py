"""Where verification events go."""
