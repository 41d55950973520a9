"""What happens to a board beside one inference: frames, other users, storages' moods, faults."""
