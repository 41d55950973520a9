"""The report that people open: report.html, one file."""
