"""Cost profiles from measurements, and how far the simulation is from them."""
