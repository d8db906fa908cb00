"""The edge: one service of the machine that serves the domains of all apps over HTTPS, by Traefik."""
