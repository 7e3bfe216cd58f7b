"""The one embedded file: connections, pragmas, group commit, migrations. Bus, store and cache stand on it."""
