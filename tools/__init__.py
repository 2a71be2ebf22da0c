"""What authors run: lessons to notebooks, and files that must stay in step with one another."""
