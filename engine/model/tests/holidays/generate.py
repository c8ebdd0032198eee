"""Writes holidays.csv, with which tests/holidays.rs compares the calendars of countries.

    python3 -m venv env && env/bin/pip install holidays==0.109 && env/bin/python generate.py

The library: https://pypi.org/project/holidays/ (MIT).
"""

import pathlib

import holidays

COUNTRIES = "AT AU BE BR CH CZ DE DK EE ES FI FR GB HR IE IT LT LU NL NO PL PT SE SI SK US".split()
YEARS = range(2026, 2036)

here = pathlib.Path(__file__).parent
with open(here / "holidays.csv", "w", encoding="utf-8") as file:
    file.write("country,day,name\n")
    for country in COUNTRIES:
        days = holidays.country_holidays(country, years=YEARS, observed=True, language="en_US")
        for day, name in sorted(days.items()):
            if day.year in YEARS:
                name = name.replace('"', "'")
                file.write(f'{country},{day},"{name}"\n')
