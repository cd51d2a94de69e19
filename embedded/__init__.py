"""The whole product on one machine: every component a supervised process."""
