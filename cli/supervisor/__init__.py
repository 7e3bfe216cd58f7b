"""Runs the services of one machine: plan, processes with PID files, stop, status, the live screen."""
