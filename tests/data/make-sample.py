#!/usr/bin/env python3
"""Cut the sample in b2b-saas/ from the full data set.

    python3 tests/data/make-sample.py SOURCE

SOURCE holds contacts.csv, events.csv, leads.csv, opportunities.csv and subscriptions.csv; b2b-saas/README.md says how
they were made. The sample is 300 contacts, as many of them leads as in the full set (seven in ten), and every row of
the other files that belongs to them, columns and ids unchanged. Who is taken is decided by the SHA-256 of the
contact's id, so a second run writes the same bytes. Needs nothing but Python 3.9.
"""

import csv
import hashlib
import pathlib
import sys

CONTACTS = 300
TARGET = pathlib.Path(__file__).parent / "b2b-saas"


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(name, rows):
    with open(TARGET / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows):6} rows  {name}")


def main(source):
    contacts = read(source / "contacts.csv")
    leads = read(source / "leads.csv")
    lead_contacts = {row["contact"] for row in leads}

    by_hash = sorted(contacts, key=lambda row: hashlib.sha256(row["external_id"].encode()).digest())
    are_leads = [row["external_id"] for row in by_hash if row["external_id"] in lead_contacts]
    are_not = [row["external_id"] for row in by_hash if row["external_id"] not in lead_contacts]
    share = round(CONTACTS * len(are_leads) / len(contacts))
    taken = set(are_leads[:share] + are_not[: CONTACTS - share])

    leads = [row for row in leads if row["contact"] in taken]
    lead_ids = {row["lead_id"] for row in leads}
    opportunities = [row for row in read(source / "opportunities.csv") if row["lead_id"] in lead_ids]
    opportunity_ids = {row["opportunity_id"] for row in opportunities}

    write("contacts.csv", [row for row in contacts if row["external_id"] in taken])
    write("events.csv", [row for row in read(source / "events.csv") if row["contact"] in taken])
    write("leads.csv", leads)
    write("opportunities.csv", opportunities)
    write("subscriptions.csv", [
        row for row in read(source / "subscriptions.csv") if row["opportunity_id"] in opportunity_ids
    ])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
