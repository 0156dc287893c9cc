"""The one driver that runs any machine on a clock."""
