"""From a profile as its user wrote it to the configuration that the engine gets."""
