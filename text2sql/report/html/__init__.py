"""metrics/report.html: the comparison of the arms and every question, in one file that needs no network."""
