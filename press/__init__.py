"""What turns chapters into a book: execution, ledger, pages made from the ledger. `python -m press --help` lists it."""
