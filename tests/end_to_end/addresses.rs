//! Where a page may be opened, and whether it says the truth there.

use lichen_testkit::BrowserOptions;

use super::site::{ENDLESS, SOON, Site};

#[test]
fn an_address_without_https_is_no_invitation() {
    let mapped = "--host-resolver-rules=MAP lichen.test 127.0.0.1".to_owned();
    let site = Site::start_with(ENDLESS, &BrowserOptions { flags: vec![mapped] });
    let page = site.profile().new_page().unwrap();
    page.navigate(&site.relay.url().replace("127.0.0.1", "lichen.test")).unwrap();
    let said = "document.querySelector('main')?.innerText.includes('not secure')";
    page.wait_for("the page to say that its address is not secure", said, SOON).unwrap();
    let text = page.evaluate("document.querySelector('main').innerText").unwrap().to_string();
    assert!(text.contains("https://lichen.test:"), "{text}");
    assert!(!page.has_button("Join").unwrap());
    assert_eq!(page.workers(), 0);
}

/// Has the relay's words say that somebody else runs the campaign.
const FALSE_WORDS: &str = r#"
const real = globalThis.fetch;
globalThis.fetch = async (what, ...rest) => {
    const answer = await real(what, ...rest);
    if (!String(what.url ?? what).endsWith("lichen.json")) return answer;
    const words = await answer.json();
    words.organiser.name = "A Good Cause";
    return new Response(JSON.stringify(words), { status: 200 });
};"#;

#[test]
fn false_words_about_a_campaign_end_the_visit_before_anything_connects() {
    let site = Site::start(ENDLESS);
    let page = site.profile().new_page().unwrap();
    page.run_on_load(FALSE_WORDS).unwrap();
    page.navigate(&site.relay.url()).unwrap();
    let shown = "document.querySelector('main')?.innerText.includes('A Good Cause')";
    page.wait_for("the false words to be shown", shown, SOON).unwrap();
    page.click("Join", SOON).unwrap();
    let said = "document.querySelector('[role=alert]')?.innerText.includes('about who runs it')";
    page.wait_for("the page to say what was false", said, SOON).unwrap();
    assert!(!page.has_button("Join").unwrap());
    assert!(page.requests().iter().all(|request| !request.websocket), "{:?}", page.requests());
    assert!(site.contributions().is_empty());
}
