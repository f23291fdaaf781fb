//! Who calls in the test of all rows, and what they call about.

use serde_json::{Value, json};

use super::{About, ROLES, SESSIONS, SOMEBODY};
use crate::{
    client::Client,
    people::{account, grant, key, revoke, session, user},
    ssh_keys,
    world::{World, id},
};

/// Everybody who calls, and what they call about.
pub(super) struct Scene {
    pub(super) callers: Vec<Client>,
    /// A workspace of the owner, and one of the other user.
    workspaces: [String; 2],
    /// The app that was last made in each.
    apps: [Option<String>; 2],
    /// The number of the first of those who have a role on the owner's app.
    members_of_app: u8,
    made: u32,
}

impl Scene {
    pub(super) async fn new(world: &World) -> Self {
        let (owner, other) = (user(world, 1).await, user(world, 2).await);
        // Somebody to be given roles.
        user(world, SOMEBODY).await;
        let workspace = async |api: &Client, name: &str| {
            let body = json!({ "name": name, "template_id": "tiny" });
            id(&api.json("POST", "/workspaces", body).await.expect(201))
        };
        let this = workspace(&owner, "this").await;
        let beside = workspace(&owner, "beside").await;
        let theirs = workspace(&other, "theirs").await;
        let mut callers = vec![
            world.api.stranger(),
            owner.clone(),
            key(&owner, &["read"]).await.1,
            key(&owner, &[&format!("workspace:{this}")]).await.1,
            key(&owner, &[&format!("workspace:{beside}")]).await.1,
            other,
            world.api.clone(),
        ];
        let mut number = 10;
        for resource in [format!("workspace:{this}"), format!("account:{}", account(1))] {
            for role in ROLES {
                number += 1;
                callers.push(user(world, number).await);
                grant(&owner, number, &resource, role).await;
            }
        }
        number += 1;
        callers.push(user(world, number).await);
        for resource in [format!("workspace:{this}"), format!("account:{}", account(1))] {
            grant(&owner, number, &resource, "owner").await;
            revoke(&owner, number, &resource, "owner").await;
        }
        // There is no app yet that it could be of.
        callers.push(world.api.stranger());
        for _ in ROLES {
            number += 1;
            callers.push(user(world, number).await);
        }
        let (apps, workspaces) = ([None, None], [this, theirs]);
        let mut scene = Self { callers, workspaces, apps, members_of_app: number - 3, made: 0 };
        scene.object(world, About::App, 0).await;
        scene
    }

    /// The object of one request; a thing is a new one, because the request before may have ended
    /// its own. `whose` is 0 for the owner and 1 for the other user.
    pub(super) async fn object(&mut self, world: &World, about: About, whose: usize) -> String {
        let of = account(if whose == 0 { 1 } else { 2 });
        let noun = match about {
            About::Account => return String::new(),
            About::Workspace | About::InWorkspace => return self.workspaces[whose].clone(),
            About::User | About::Owner => return of.to_string(),
            // Nobody makes one for a caller that is there already.
            About::Thing(SESSIONS) => {
                return session(world, if whose == 0 { 1 } else { 2 }).await.0;
            }
            About::OfWorkspace => return format!("workspace:{}", self.workspaces[whose]),
            About::OfAccount => return format!("account:{of}"),
            About::Thing(noun) => noun,
            About::OfApp => {
                return format!("app:{}", Box::pin(self.object(world, About::App, whose)).await);
            }
            About::App => "/apps",
            About::Plan => "/plans",
        };
        let maker = self.callers[if whose == 0 { 1 } else { 5 }].clone();
        if let Some(app) = self.apps[whose].as_ref().filter(|_| about == About::App)
            && maker.get(&format!("/apps/{app}")).await.status == 200
        {
            return app.clone();
        }
        self.made += 1;
        let name = format!("n{}", self.made);
        if about == About::Plan {
            // Only the operator makes one.
            self.callers[6].json("POST", noun, json!({ "name": name })).await.expect(201);
            return name;
        }
        let body = match noun {
            "/setup-scripts" => json!({ "name": name, "content": "" }),
            "/service-specs" => json!({ "name": name, "exec_start": "/bin/true" }),
            "/apps" => json!({ "name": name, "workspace_id": self.workspaces[whose] }),
            "/ssh-keys" => {
                json!({ "name": name, "public_key": ssh_keys::key(u8::try_from(self.made % 251).unwrap()) })
            }
            _ => json!({ "name": name }),
        };
        let made: Value = maker.json("POST", noun, body).await.expect(201);
        let made = if noun == "/apps" { &made["app"] } else { &made };
        let id = made["id"].as_str().unwrap().to_owned();
        if about == About::App {
            self.apps[whose] = Some(id.clone());
            self.furnish(&maker, &id, whose).await;
        }
        id
    }
    /// A new app reads a file, and those with a role on it alone, and the key of it, are of this one.
    async fn furnish(&mut self, maker: &Client, app: &str, whose: usize) {
        let source: Value = serde_json::from_str(SOURCE).unwrap();
        maker.json("POST", &format!("/apps/{app}/log-sources"), source).await.expect(200);
        if whose == 0 {
            let resource = format!("app:{app}");
            for (number, role) in (self.members_of_app..).zip(ROLES) {
                grant(maker, number, &resource, role).await;
            }
            self.callers[16] = key(maker, &[&resource]).await.1;
        }
    }
}

/// A place where an app's logs are that takes more than a right to the app.
pub(super) const SOURCE: &str =
    r#"{ "source_type": "file_path", "source_ref": "/var/log/app.log" }"#;
