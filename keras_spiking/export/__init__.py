"""Networks for other systems: Lava (Loihi) and NIR."""
