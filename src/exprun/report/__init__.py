"""The HTML report of a sweep: charts, tables and the page that contains them."""
