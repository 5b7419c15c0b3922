"""A sweep as a page to read: charts, tables and the page that holds them."""
