"""`python -m encryption_service` is the command `encryption-service`."""

from encryption_service.cli import main

if __name__ == "__main__":
    main()
