"""What it runs on: boards, their memories and storages, and what an op costs there."""
