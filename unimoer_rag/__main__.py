"""`python -m unimoer_rag`: the command `unimoer-rag`."""

from unimoer_rag.cli.main import main

if __name__ == "__main__":
    main()
