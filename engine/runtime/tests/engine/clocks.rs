//! Whose clock a wait goes by, and whose holidays: cases worked out by hand from `docs/semantics.md`.

use serde_json::{Value, json};

use crate::support::TestApp;

/// Until when each contact waits, by its number, where the wait begins at `now`.
async fn waits(now: &str, wait: &str, contacts: &[Value]) -> Vec<String> {
    let app = TestApp::new(&[]).await;
    let of = |n: u32| contacts.get(n as usize - 1).unwrap().clone();
    let ids = app.contacts(u32::try_from(contacts.len()).unwrap(), of).await;
    app.publish(&format!("name: w\non: {{event: go}}\nsteps:\n  - wait: {wait}\n  - exit: over\n")).await;
    app.events(u32::try_from(contacts.len()).unwrap(), "go", now).await;
    app.run().await;
    let mut ended = Vec::new();
    for id in ids {
        let run = app.runs().await.into_iter().find(|run| run.contact == id).unwrap();
        ended.push(run.ended_at.unwrap().to_string());
    }
    ended
}

#[tokio::test]
async fn the_contacts_zone_its_country_the_step_the_workspace() {
    let contacts = [
        json!({"time_zone": "America/New_York", "country": "DE"}),
        json!({"country": "DE"}),
        // A country of several times says nothing, nor does a zone that is none.
        json!({"country": "US"}),
        json!({"time_zone": "Mars/Base"}),
    ];
    let now = "2024-07-01T12:00:00Z";
    // Eight in New York, two in the afternoon in Berlin, nine in the evening in Tokyo.
    assert_eq!(
        waits(now, "{at: '09:00', time_zone: Asia/Tokyo}", &contacts).await,
        ["2024-07-01T13:00:00Z", "2024-07-02T07:00:00Z", "2024-07-02T00:00:00Z", "2024-07-02T00:00:00Z"]
    );
    assert_eq!(
        waits(now, "{at: '09:00'}", &contacts).await,
        ["2024-07-01T13:00:00Z", "2024-07-02T07:00:00Z", "2024-07-02T09:00:00Z", "2024-07-02T09:00:00Z"]
    );
}

#[tokio::test]
async fn the_holidays_of_each_contacts_country() {
    let contacts = [
        json!({"country": "DE"}),
        json!({"country": "fr"}),
        // No country, no holidays; and none are known of this one.
        json!({}),
        json!({"country": "JP"}),
    ];
    // Christmas 2024 is a Wednesday. The day after is a holiday in Germany and none in France.
    let window = "for: 1d, between: '09:00-17:00', days: mon-fri";
    assert_eq!(
        waits("2024-12-24T12:00:00Z", &format!("{{{window}, holidays: contact}}"), &contacts).await,
        ["2024-12-27T08:00:00Z", "2024-12-26T08:00:00Z", "2024-12-25T12:00:00Z", "2024-12-26T00:00:00Z"]
    );
    // The same for all, with those of France beside.
    assert_eq!(
        waits("2024-12-24T12:00:00Z", &format!("{{{window}, holidays: 'FR, DE'}}"), &contacts).await,
        ["2024-12-27T08:00:00Z", "2024-12-27T08:00:00Z", "2024-12-27T09:00:00Z", "2024-12-27T00:00:00Z"]
    );
}
