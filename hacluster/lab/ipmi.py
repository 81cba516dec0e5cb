"""A BMC on this machine: OpenIPMI's ipmi_sim, told whom it answers and what it switches."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from hacluster.lab.layout import Bmc


def prepare(directory: Path, bmc: Bmc, switch: str) -> list[str]:
    """Write a BMC's files below `directory`, which must not exist yet; the command that runs it.

    `switch` is a command line that ipmi_sim calls with its chassis control's words: ipmi_lan(5).
    """
    (directory / "state").mkdir(parents=True)
    chassis = directory / "chassis"
    chassis.write_text(f'#!/bin/sh\nexec {switch} "$@"\n')
    chassis.chmod(0o755)
    guid = f"{ipaddress.IPv4Address(bmc.address).packed.hex():0>32}"
    levels = "".join(
        f"    allowed_auths_{level} none md2 md5 straight\n" for level in ("callback", "user", "operator", "admin")
    )
    lan = directory / "lan.conf"
    lan.touch(0o600)
    lan.write_text(
        f'name "{bmc.device}"\nset_working_mc 0x20\n  startlan 1\n    addr {bmc.address} 623\n    priv_limit admin\n'
        f'{levels}    guid {guid}\n  endlan\n  chassis_control "{chassis}"\n'
        f'  user 1 true "" "" user 10 none md2 md5 straight\n'
        f'  user 2 true "{bmc.username}" "{bmc.password}" admin 10 none md2 md5 straight\n'
    )
    commands = directory / "commands"
    commands.write_text(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\n"
        "sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n"
    )
    return ["ipmi_sim", "-n", "-c", str(lan), "-f", str(commands), "-s", str(directory / "state")]
