"""The programs: `crymapd`, `crymap`, `crymap-deliver`, one module per subcommand."""
