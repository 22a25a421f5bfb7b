"""`make siege`: five users attack the service for an hour; alice's tunnel is not to notice, and nothing is to stay.

Attackers are processes of their own, one a user and round, each with some sixty connections.  All that they decide
comes from one seed, which is printed.

    run         the command
    siege       the course of a run: put up, warm up, attack in rounds, come to rest, judge
    field       what is put up: servers, accounts, texts of profiles
    alice       her session, her calls, the flow of datagrams through her tunnel
    census      what is there of the service: processes, memory, descriptors, files, network
    leaving     how attackers' things are taken away, and whether users then have all their quota again
    attacker    the program of one attacker
    wire        an attacker's connection to the bus
    legal, illegal, habits, profiles   what attackers do
"""
