"""Networks of our own, as torch modules; features/encoders imports them when one is built."""
