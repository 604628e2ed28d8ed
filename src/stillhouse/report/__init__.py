"""The report of a run: `result` holds what a run found, `page` turns it into one HTML file or a terminal table, `plots` draws."""
