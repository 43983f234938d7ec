"""Files of gold queries and predictions, in the forms that people have them."""
