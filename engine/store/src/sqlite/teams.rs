//! Representatives and teams, as the workspace's file has them.

use std::collections::{BTreeSet, HashMap};

use dripline_model::team::{Member, Representative, Team};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{
    SqliteStore,
    catalog::NEXT_REVISION,
    rows::{Raw, RowsSql, damaged},
    writer::Writer,
};

const DEACTIVATE: &str = "UPDATE representatives SET active = 0";

const PUT_REPRESENTATIVES: RowsSql = RowsSql {
    head: "INSERT INTO representatives (key, name, email, position, active) VALUES",
    row: "(?, ?, ?, ?, 1)",
    tail: "ON CONFLICT (key) DO UPDATE SET name = excluded.name, email = excluded.email,
        position = excluded.position, active = 1",
};

/// Whom no file knows, but somebody names.
const ADD_REPRESENTATIVES: RowsSql = RowsSql {
    head: "INSERT OR IGNORE INTO representatives (key, name, position, active) VALUES",
    row: "(?, ?, 0, 0)",
    tail: "",
};

pub(super) const FIND_REPRESENTATIVES: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT r.key, r.id FROM wanted CROSS JOIN representatives r ON r.key = wanted.key",
};

const REPRESENTATIVES: &str =
    "SELECT key, name, email FROM representatives WHERE active = 1 ORDER BY position, key";

const DELETE_TEAMS: &str = "DELETE FROM teams";

const INSERT_TEAM: &str = "INSERT INTO teams (key, name, position) VALUES (?1, ?2, ?3) RETURNING id";

const INSERT_MEMBERS: RowsSql = RowsSql {
    head: "INSERT INTO team_members (team_id, position, rep_id, weight) VALUES",
    row: "(?, ?, ?, ?)",
    tail: "",
};

const TEAMS: &str = "
SELECT t.key, t.name, r.key, m.weight
FROM teams t
LEFT JOIN team_members m ON m.team_id = t.id
LEFT JOIN representatives r ON r.id = m.rep_id
ORDER BY t.position, m.position";

/// The ids of representatives by key. One who is in no file is kept as inactive, so that nothing that names somebody is
/// lost.
pub(super) async fn representative_ids(
    writer: &mut Writer,
    keys: BTreeSet<&str>,
) -> Raw<HashMap<String, i64>> {
    let add = ADD_REPRESENTATIVES.over(&keys, |binds, key| {
        binds.add(*key).add(*key);
    });
    writer.put(add).await?;
    let find = FIND_REPRESENTATIVES.over(&keys, |binds, key| {
        binds.add(*key);
    });
    Ok(find.fetch::<(String, i64)>(writer.conn()).await?.into_iter().collect())
}

impl SqliteStore {
    pub(super) async fn replace_teams(&self, reps: &[Representative], teams: &[Team]) -> Raw<()> {
        let mut writer = self.writer().await?;
        if representatives(writer.conn()).await? == reps && all_teams(writer.conn()).await? == teams {
            return Ok(());
        }
        writer.run(query(NEXT_REVISION)).await?;
        writer.run(query(DEACTIVATE)).await?;
        let put = PUT_REPRESENTATIVES.over((0_i64..).zip(reps), |binds, (position, rep)| {
            binds.add(rep.key.as_str()).add(rep.name.as_str()).add(rep.email.as_deref()).add(position);
        });
        writer.put(put).await?;
        let named = teams.iter().flat_map(|team| team.members.iter().map(|member| member.rep.as_str()));
        let ids = representative_ids(&mut writer, named.collect()).await?;
        // Nothing but members points to a team, and they go with it.
        writer.run(query(DELETE_TEAMS)).await?;
        for (position, team) in (0_i64..).zip(teams) {
            let insert = query_scalar(INSERT_TEAM).bind(&team.key).bind(&team.name).bind(position);
            let id: i64 = insert.fetch_one(writer.conn()).await?;
            let members = (0_i64..).zip(&team.members).filter_map(|(position, member)| {
                Some((position, *ids.get(&member.rep)?, i64::from(member.weight)))
            });
            let insert = INSERT_MEMBERS.over(members, |binds, (position, rep, weight)| {
                binds.add(id).add(position).add(rep).add(weight);
            });
            writer.put(insert).await?;
        }
        writer.commit().await
    }

    pub(super) async fn load_teams(&self) -> Raw<Vec<Team>> {
        all_teams(&mut *self.reader().await?).await
    }

    pub(super) async fn load_representatives(&self) -> Raw<Vec<Representative>> {
        representatives(&mut *self.reader().await?).await
    }
}

async fn all_teams(conn: &mut SqliteConnection) -> Raw<Vec<Team>> {
    let rows: Vec<(String, String, Option<String>, Option<i64>)> = query_as(TEAMS).fetch_all(conn).await?;
    let mut teams: Vec<Team> = Vec::new();
    for (key, name, rep, weight) in rows {
        if teams.last().is_none_or(|team| team.key != key) {
            teams.push(Team { key, name, members: Vec::new() });
        }
        if let (Some(team), Some(rep), Some(weight)) = (teams.last_mut(), rep, weight) {
            let weight = u32::try_from(weight).map_err(|error| damaged("team member's weight", error))?;
            team.members.push(Member { rep, weight });
        }
    }
    Ok(teams)
}

async fn representatives(conn: &mut SqliteConnection) -> Raw<Vec<Representative>> {
    let rows: Vec<(String, String, Option<String>)> = query_as(REPRESENTATIVES).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(key, name, email)| Representative { key, name, email }).collect())
}
