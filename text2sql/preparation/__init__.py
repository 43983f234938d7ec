"""Training rows from several kinds of file: read as a stream, checked one by one, brought into one form."""
