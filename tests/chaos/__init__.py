"""Everything that can die, killed anywhere, on real guests; what comes of it is judged by what the guests wrote."""
