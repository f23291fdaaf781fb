use std::collections::BTreeMap;

use super::*;

fn account(n: u8) -> AccountId {
    AccountId::from_random([n; 16])
}

fn key(n: u8, standing: Standing) -> Principal {
    let scopes = KeyScopes::full();
    Principal::Key {
        credential: Credential::Key(ApiKeyId::from_random([n; 16])),
        account: account(n),
        standing,
        scopes,
    }
}

/// A user's key with these scopes.
fn narrow(n: u8, words: &[&str]) -> Principal {
    let scopes: Vec<KeyScope> = words.iter().map(|word| word.parse().unwrap()).collect();
    let scopes = scopes.try_into().unwrap();
    let credential = Credential::Key(ApiKeyId::from_random([n; 16]));
    Principal::Key { credential, account: account(n), standing: Standing::User, scopes }
}

fn workspace(n: u8, owner: u8) -> Resource {
    shared(n, owner, None)
}

/// A workspace on which the caller was given a role.
fn shared(n: u8, owner: u8, granted: Option<Role>) -> Resource {
    Resource::Workspace { id: WorkspaceId::from_random([n; 8]), owner: account(owner), granted }
}

/// An account on which the caller was given nothing.
fn account_of(n: u8) -> Resource {
    Resource::Account { id: account(n), granted: None }
}

fn check(who: &Principal, right: Right, resource: &Resource, expected: Result<(), Denied>) {
    assert_eq!(authorise(who, right, resource, ()).map(|_| ()), expected, "{who:?} {right:?}");
}

#[test]
fn a_user_enters_only_its_own_workspace() {
    let user = key(1, Standing::User);
    check(&user, Right::WorkspaceEnter, &workspace(9, 1), Ok(()));
    check(&user, Right::WorkspaceEnter, &workspace(9, 2), Err(Denied::Unknown));
    check(&user, Right::WorkspaceRead, &workspace(9, 2), Err(Denied::Unknown));
}

#[test]
fn only_the_operator_manages_accounts() {
    let (operator, user) = (key(1, Standing::Operator), key(2, Standing::User));
    check(&operator, Right::Administer, &Resource::Platform, Ok(()));
    check(&operator, Right::AccountWrite, &Resource::Platform, Err(Denied::Forbidden));
    // A narrowed key of the operator manages nobody.
    for scope in ["read", "workspace:ws-abcdefgh"] {
        let mut narrowed = narrow(1, &[scope]);
        if let Principal::Key { standing, .. } = &mut narrowed {
            *standing = Standing::Operator;
        }
        check(&narrowed, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
    }
    check(&user, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
    let own = account_of(2);
    check(&user, Right::Administer, &own, Err(Denied::Forbidden));
    let guest =
        Principal::Guest { workspace: WorkspaceId::from_random([9; 8]), account: account(1) };
    check(&guest, Right::Administer, &Resource::Platform, Err(Denied::Forbidden));
}

#[test]
fn code_in_a_workspace_sees_that_workspace_and_changes_nothing() {
    let guest =
        Principal::Guest { workspace: WorkspaceId::from_random([9; 8]), account: account(1) };
    check(&guest, Right::GuestRead, &workspace(9, 1), Ok(()));
    check(&guest, Right::GuestWrite, &workspace(9, 1), Ok(()));
    check(&guest, Right::WorkspaceWrite, &workspace(9, 1), Err(Denied::Forbidden));
    check(&guest, Right::GuestRead, &workspace(8, 1), Err(Denied::Unknown));
    check(&guest, Right::AccountRead, &account_of(1), Err(Denied::Unknown));
}

#[test]
fn a_key_that_reads_changes_nothing() {
    let key = narrow(1, &["read"]);
    let own = account_of(1);
    check(&key, Right::AccountRead, &own, Ok(()));
    check(&key, Right::AccountWrite, &own, Err(Denied::Forbidden));
    check(&key, Right::WorkspaceRead, &workspace(9, 1), Ok(()));
    for right in [Right::WorkspaceWrite, Right::WorkspaceEnter, Right::GuestRead] {
        check(&key, right, &workspace(9, 1), Err(Denied::Forbidden));
    }
    check(&key, Right::WorkspaceRead, &workspace(9, 2), Err(Denied::Unknown));
    check(&key, Right::AccountRead, &account_of(2), Err(Denied::Unknown));
}

#[test]
fn a_key_of_a_workspace_knows_of_nothing_else() {
    let id = WorkspaceId::from_random([9; 8]);
    let key = narrow(1, &[&format!("workspace:{id}")]);
    for right in [Right::WorkspaceRead, Right::WorkspaceWrite, Right::WorkspaceEnter] {
        check(&key, right, &workspace(9, 1), Ok(()));
        check(&key, right, &workspace(8, 1), Err(Denied::Unknown));
        // A scope gives nothing that the account does not have.
        check(&key, right, &workspace(9, 2), Err(Denied::Unknown));
    }
    for right in [Right::AccountRead, Right::AccountWrite] {
        check(&key, right, &account_of(1), Err(Denied::Forbidden));
    }
}

#[test]
fn scopes_add_up() {
    let id = WorkspaceId::from_random([9; 8]);
    let key = narrow(1, &["read", &format!("workspace:{id}")]);
    check(&key, Right::WorkspaceEnter, &workspace(9, 1), Ok(()));
    check(&key, Right::WorkspaceRead, &workspace(8, 1), Ok(()));
    check(&key, Right::WorkspaceEnter, &workspace(8, 1), Err(Denied::Forbidden));
    check(&key, Right::AccountWrite, &account_of(1), Err(Denied::Forbidden));
}

#[test]
fn a_key_of_an_app_may_nothing_in_the_api() {
    let key = narrow(1, &["app:app-abcdefgh"]);
    check(&key, Right::AccountRead, &account_of(1), Err(Denied::Forbidden));
    check(&key, Right::WorkspaceRead, &workspace(9, 1), Err(Denied::Unknown));
}

#[test]
fn a_role_gives_what_its_rank_says_and_nothing_of_the_account() {
    use Right::{
        AccessLeave, AccessOwn, AccessRead, AccessWrite, WorkspaceEnter, WorkspaceOperate,
        WorkspaceRead, WorkspaceWrite,
    };
    let member = key(1, Standing::User);
    for (role, may) in [
        (Role::Viewer, &[WorkspaceRead, AccessRead, AccessLeave][..]),
        (
            Role::Developer,
            &[WorkspaceRead, WorkspaceOperate, WorkspaceEnter, AccessRead, AccessLeave],
        ),
        (
            Role::Admin,
            &[
                WorkspaceRead,
                WorkspaceOperate,
                WorkspaceWrite,
                WorkspaceEnter,
                AccessRead,
                AccessWrite,
                AccessLeave,
            ],
        ),
        (
            Role::Owner,
            &[
                WorkspaceRead,
                WorkspaceOperate,
                WorkspaceWrite,
                WorkspaceEnter,
                AccessRead,
                AccessWrite,
                AccessOwn,
                AccessLeave,
            ],
        ),
    ] {
        for right in Right::ALL {
            let expected = if may.contains(right) { Ok(()) } else { Err(Denied::Forbidden) };
            check(&member, *right, &shared(9, 2, Some(role)), expected);
        }
    }
}

#[test]
fn a_role_on_an_account_opens_its_workspaces_and_none_of_its_keys() {
    use Right::{AccessLeave, AccessOwn, AccessRead, AccessWrite, WorkspaceCreate, WorkspaceList};
    let member = key(1, Standing::User);
    for (role, may) in [
        (Role::Viewer, &[WorkspaceList, AccessRead, AccessLeave][..]),
        (Role::Developer, &[WorkspaceList, AccessRead, AccessLeave]),
        (Role::Admin, &[WorkspaceList, WorkspaceCreate, AccessRead, AccessWrite, AccessLeave]),
        (
            Role::Owner,
            &[WorkspaceList, WorkspaceCreate, AccessRead, AccessWrite, AccessOwn, AccessLeave],
        ),
    ] {
        let theirs = Resource::Account { id: account(2), granted: Some(role) };
        for right in Right::ALL {
            let expected = if may.contains(right) { Ok(()) } else { Err(Denied::Forbidden) };
            check(&member, *right, &theirs, expected);
        }
    }
}

#[test]
fn scopes_narrow_what_was_given_too() {
    let id = WorkspaceId::from_random([9; 8]);
    let given = |role| shared(9, 2, Some(role));
    let reads = narrow(1, &["read"]);
    check(&reads, Right::WorkspaceRead, &given(Role::Owner), Ok(()));
    check(&reads, Right::AccessRead, &given(Role::Owner), Ok(()));
    check(&reads, Right::AccessLeave, &given(Role::Owner), Err(Denied::Forbidden));
    check(&reads, Right::WorkspaceEnter, &given(Role::Owner), Err(Denied::Forbidden));
    let named = narrow(1, &[&format!("workspace:{id}")]);
    check(&named, Right::WorkspaceEnter, &given(Role::Developer), Ok(()));
    check(&named, Right::WorkspaceWrite, &given(Role::Developer), Err(Denied::Forbidden));
    // Only a whole key lets others in.
    check(&named, Right::AccessWrite, &given(Role::Owner), Err(Denied::Forbidden));
    check(&named, Right::WorkspaceRead, &shared(8, 2, Some(Role::Owner)), Err(Denied::Unknown));
    // And of the account it knows nothing, whatever was given there.
    let theirs = Resource::Account { id: account(2), granted: Some(Role::Owner) };
    check(&named, Right::WorkspaceList, &theirs, Err(Denied::Unknown));
    check(&reads, Right::WorkspaceList, &theirs, Ok(()));
    check(&reads, Right::WorkspaceCreate, &theirs, Err(Denied::Forbidden));
}

#[test]
fn the_highest_role_whose_conditions_hold_counts() {
    let tags = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let tags: BTreeMap<String, String> = pairs.iter().map(owned).collect();
        Tags::try_from(tags).unwrap()
    };
    let always = Conditions::default();
    let in_dev = Conditions { required_resource_tags: tags(&[("env", "dev")]), ..always.clone() };
    let (dev, prod, none) = (tags(&[("env", "dev")]), tags(&[("env", "prod")]), Tags::default());
    let given = |thing| [(Role::Viewer, &always, &none), (Role::Admin, &in_dev, thing)];
    assert_eq!(granted(given(&dev), &none), Some(Role::Admin));
    assert_eq!(granted(given(&prod), &none), Some(Role::Viewer));
    assert_eq!(granted([], &none), None);
}

#[test]
fn what_a_role_gives_grows_with_its_rank() {
    for kind in [ScopeKind::Account, ScopeKind::Workspace, ScopeKind::App] {
        for pair in Role::ALL.windows(2) {
            let [lower, higher] = pair else { panic!("windows of two") };
            let higher = permissions(*higher, kind);
            assert!(permissions(*lower, kind).iter().all(|right| higher.contains(right)));
        }
        assert_eq!(right_to_bind(Role::Owner), Right::AccessOwn);
    }
}

fn app(owner: u8, visibility: Visibility, listed: bool, granted: Option<Role>) -> Resource {
    let id = "app-abcdefgh".parse().unwrap();
    let Resource::Workspace { id: workspace, owner, .. } = workspace(9, owner) else {
        panic!("a workspace")
    };
    Resource::App { id, workspace, owner, granted, visibility, listed }
}

#[test]
fn an_app_is_visited_by_whom_its_visibility_says() {
    use Visibility::{Private, Privileged, Public};
    let (owner, other, operator) =
        (key(1, Standing::User), key(2, Standing::User), key(3, Standing::Operator));
    let visit = |who, of: Resource| authorise_visit(who, &of, ()).map(|_| ());
    let link = "app-abcdefgh".parse().unwrap();
    let foreign = "app-abcdefgi".parse().unwrap();
    for (visibility, listed, anyone, stranger) in [
        (Private, false, Err(Denied::Unknown), Err(Denied::Forbidden)),
        (Private, true, Err(Denied::Unknown), Err(Denied::Forbidden)),
        (Privileged, false, Err(Denied::Unknown), Err(Denied::Forbidden)),
        (Privileged, true, Err(Denied::Unknown), Ok(())),
        (Public, false, Ok(()), Ok(())),
    ] {
        let of = |granted| app(1, visibility, listed, granted);
        assert_eq!(visit(Visiting::Anyone, of(None)), anyone);
        assert_eq!(visit(Visiting::Known(&owner), of(None)), Ok(()));
        assert_eq!(visit(Visiting::Known(&other), of(None)), stranger);
        assert_eq!(visit(Visiting::Known(&operator), of(None)), stranger);
        assert_eq!(visit(Visiting::Known(&other), of(Some(Role::Viewer))), Ok(()));
        assert_eq!(visit(Visiting::Preflight, of(None)), Ok(()));
        assert_eq!(visit(Visiting::Link(&link), of(None)), Ok(()));
        let another = if visibility == Public { Ok(()) } else { Err(Denied::Forbidden) };
        assert_eq!(visit(Visiting::Link(&foreign), of(None)), another);
    }
}

#[test]
fn a_key_visits_and_changes_no_app_beyond_its_scopes() {
    let own = || app(1, Visibility::Private, false, None);
    for (scope, visits, changes) in [
        ("app:app-abcdefgh", Ok(()), Ok(())),
        ("app:app-abcdefgi", Err(Denied::Forbidden), Err(Denied::Unknown)),
        ("read", Err(Denied::Forbidden), Err(Denied::Forbidden)),
    ] {
        let who = narrow(1, &[scope]);
        check(&who, Right::AppVisit, &own(), visits);
        check(&who, Right::AppWrite, &own(), changes);
    }
    let other = key(2, Standing::User);
    check(&other, Right::AppRead, &own(), Err(Denied::Unknown));
    let viewer = app(1, Visibility::Private, false, Some(Role::Viewer));
    check(&other, Right::AppRead, &viewer, Ok(()));
    check(&other, Right::AppOperate, &viewer, Err(Denied::Forbidden));
}
