"""hacluster: highly available KVM virtual machines on plain Pacemaker."""
