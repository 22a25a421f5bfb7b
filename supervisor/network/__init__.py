"""Network devices, addresses and routes of sessions, and the firewall; removed with the sessions."""
