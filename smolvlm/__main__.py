"""`python -m smolvlm`: the same program as the command `smolvlm`."""

from smolvlm.cli.main import main

if __name__ == "__main__":
    main()
