"""The user's files: found out how they are written, and read without dropping a row in silence.

`streams` opens bytes (packed or not) as UTF-8, `dialect` finds how a text is written: of its `first_rows`
delimiter and header, of the whole where `records` end, which is a matter of `quoting`. `tables` opens
delimited text (`text_table`) or Parquet (`parquet_table`) and reads it as `batches` of columns with row
numbers. `columns` says which column is which, `vocabulary` gives ids codes, `values` turns text into
numbers, `rejects` keeps the rows that cannot be used, `pairs` merges repeated pairs, `doubts` says what
to look at twice. `form` is what the user says of interactions, `sources` are the files they are in, of
which `reader` reads parts in any thread. `triplets`, `item_names` and `segment_names` read the three
kinds of file whole, `distributed` the first on a cluster.
"""
