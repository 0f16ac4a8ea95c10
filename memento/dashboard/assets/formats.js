// `digits` of them at least, and never fewer than stand before the point.
const rounded = (value, digits) => {
    const before = Math.floor(Math.log10(Math.abs(value) || 1)) + 1;
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(Math.min(21, Math.max(digits, before + 2)))));
};

// How the columns of the table show what is in them; AG Grid asks for these by name.
window.dashAgGridFunctions = Object.assign(window.dashAgGridFunctions || {}, {
    // What is no finite number comes as a text.
    number: (value) => (typeof value !== "number" ? (value ?? "") : rounded(value, 5)),
    seconds: (value) => (value == null ? "" : `${rounded(value, 4)} s`),
    megabytes: (value) => (value == null ? "" : `${(value / 1e6).toFixed(0)} MB`),
    moment: (value) => (value == null ? "" : new Date(value * 1000).toLocaleString()),
});

window.dash_clientside = Object.assign(window.dash_clientside || {}, {
    memento: {
        // The rows that are in view are asked for again, and the place where the reader is stays.
        refresh: (version) => {
            const grid = window.dash_ag_grid && document.getElementById("table") && dash_ag_grid.getApi("table");
            if (grid) grid.refreshInfiniteCache();
            return version;
        },
    },
});
