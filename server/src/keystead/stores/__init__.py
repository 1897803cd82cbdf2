"""Where keys, apis and everything else is kept."""
