"""What tests of several rooms share: waiting, a dispatcher as a process, organisations beside the test's own."""
