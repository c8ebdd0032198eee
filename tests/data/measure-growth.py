#!/usr/bin/env python3
"""Writes the contacts and events from which the figures of docs/scaling.md were measured: measure-growth.py COUNT.

The same COUNT makes the same files, contacts.csv and events.csv, in the current folder: contacts with twelve attributes
and an address, and two events for each of them with two properties and a key.
"""

import random
import sys

COUNTRIES = ["DE", "AT", "CH", "FR", "GB", "US"]
INDUSTRIES = ["logistics", "manufacturing", "retail", "health", "software"]
SENIORITIES = ["junior", "senior", "manager", "vp", "c_suite"]
TITLES = ["Head of Purchasing", "VP Finance", "Clerk", "Director Operations", "Analyst"]
PLANS = ["free", "trial", "paid"]
CITIES = ["Berlin", "Graz", "Basel", "Lyon", "Leeds", "Austin", "Bremen"]
NAMES = ["Ada", "Bob", "Cem", "Dana", "Eve", "Finn", "Gül", "Hugo", "Ida", "Jan"]

count = int(sys.argv[1])
dice = random.Random(7)
pick = dice.choice
with open("contacts.csv", "w", encoding="utf-8") as out:
    out.write("external_id,email,first_name,title,seniority,country,city,industry,plan,company,employees,visits,"
              "customer,consent_email\n")
    for k in range(1, count + 1):
        out.write(f"c{k},person{k}@customer{k % 5000}.example,{pick(NAMES)},{pick(TITLES)},{pick(SENIORITIES)},"
                  f"{pick(COUNTRIES)},{pick(CITIES)},{pick(INDUSTRIES)},{pick(PLANS)},Company {k % 5000} Ltd,"
                  f"{dice.randrange(3000)},{dice.randrange(25)},{pick(['yes', 'no'])},yes\n")
with open("events.csv", "w", encoding="utf-8") as out:
    out.write("event_id,external_id,event,at,page,seconds\n")
    for k in range(1, count * 2 + 1):
        day = k * 300 // (count * 2)
        out.write(f"evt-{k:09d},c{dice.randrange(1, count + 1)},visit.page,2024-{1 + day // 28:02d}-"
                  f"{1 + day % 28:02d} {dice.randrange(24):02d}:{dice.randrange(60):02d}:00,"
                  f"/pricing/{dice.randrange(50)},{dice.randrange(600)}\n")
