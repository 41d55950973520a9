"""What happens when: the event-driven model of a board."""
