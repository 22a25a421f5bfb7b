"""The laboratory: a small internet on one machine, in which everything real is tried.

Two network namespaces joined by a cable, a real OpenVPN server and services in one, a private system bus, this
project's service and its users in the other.  Tests, the demo and the benchmarks use it.  `enter` first takes the
whole run into namespaces of its own, so that whatever happens to it, the kernel cleans up.

    enter     runs a command inside: private mounts, processes, accounts, /run
    lab       `Lab`: all parts, put up and taken down in order
    network, openvpn, bus, pki, capture, dns, service   the parts
    connection, dbus_client   somebody's connection to the bus; a script needs `if __name__ == "__main__"` then
    echo, dns_server   the programs that stand in for the world behind the VPN
"""
