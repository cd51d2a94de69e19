"""The reference client of a member: key file, enrolment, opening and sharing."""
