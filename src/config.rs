//! The configuration file: networks, assets, time zone and bounds, read whole with every mistake reported at once.
