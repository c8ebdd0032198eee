//! Representatives and teams, as the workspace's file has them.

use dripline_model::team::{Member, Representative, Team};

use crate::{
    error::{Raw, damaged},
    publishing::RepresentativeRow,
    sets::Sets,
};

/// A team and one of its members: the team's key and name, the representative's key, the weight. A team without members
/// has one row without the last two.
pub(crate) type TeamRow = (String, String, Option<String>, Option<i64>);

/// Makes the stored teams those of the file.
pub(crate) async fn replace(sets: &mut impl Sets, reps: &[Representative], teams: &[Team]) -> Raw<()> {
    // Nothing but members points to a team, and they go with it.
    sets.clear_teams().await?;
    let rows: Vec<_> =
        reps.iter().map(|rep| (rep.key.as_str(), rep.name.as_str(), rep.email.as_deref())).collect();
    sets.put_representatives(&rows).await?;
    let named = teams.iter().flat_map(|team| team.members.iter().map(|member| member.rep.as_str()));
    let ids = sets.representatives(named.collect()).await?;
    for (position, team) in (0..).zip(teams) {
        let members: Vec<(i64, i64)> = team
            .members
            .iter()
            .filter_map(|member| Some((*ids.get(&member.rep)?, i64::from(member.weight))))
            .collect();
        sets.insert_team(&team.key, &team.name, position, &members).await?;
    }
    Ok(())
}

/// Teams from their rows, which stand in the order of teams and members.
pub(crate) fn from_rows(rows: Vec<TeamRow>) -> Raw<Vec<Team>> {
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

/// Representatives from their rows.
pub(crate) fn representatives(rows: Vec<RepresentativeRow>) -> Vec<Representative> {
    rows.into_iter().map(|(key, name, email)| Representative { key, name, email }).collect()
}
