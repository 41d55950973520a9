"""Where the bytes lie: placements in the arena, and what the runtime needs beside them."""
