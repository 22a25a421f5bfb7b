"""`make faults`: what goes wrong, at each point of a session's life; nobody else is to notice, and nothing is to stay.

Alice's session is brought to a point of its life, then something fails, and it is seen what becomes of it.  Meanwhile
numbered datagrams go through bob's.  First each fault at each point, then at random, from a seed that is printed.

    run      the command
    rounds   one round: to a point, a fault, what became of it, what is left
    points   the points of a session's life
    kinds    the faults, and what they are expected to do
    world    who is there: servers, the service, its users
    original the same done to OpenVPN 3 Linux
    census   what there is of the service on the machine
"""
