"""What the bundled teams call: fetching pages, later market data and charts."""
